"""Why one answer scored as it did: shares by group, and (estimated) which sentences it hangs on."""
