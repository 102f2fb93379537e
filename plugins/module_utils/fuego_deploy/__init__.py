"""What the modules of the role app share: plain Python, tested without a host."""
