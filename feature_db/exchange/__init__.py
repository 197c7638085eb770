"""Other programs' files, one module a format: reading them as data, writing them whole or not at all."""
