"""Models ranked on this machine: how right they are against how fast they run."""
