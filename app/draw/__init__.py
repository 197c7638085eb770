"""What is drawn without knowing of models or stores: plain texts, tokens, colours, files."""
