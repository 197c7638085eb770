"""Which features tell two kinds of answers apart."""
