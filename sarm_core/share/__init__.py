"""A comparison to send: one file with everything in it, as JSON and as a page with live sliders."""
