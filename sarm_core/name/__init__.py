"""Names by a language model: written from one part of the answers, checked on the other."""
