"""The reward model: backbone, sparse autoencoder, head, and the checkpoints they are read from."""
