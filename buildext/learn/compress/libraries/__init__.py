"""What the libraries themselves offer, under the same protocol: files in, files out."""
