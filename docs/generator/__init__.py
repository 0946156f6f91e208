"""What the documentation takes from code, parameters and metrics when it is built."""
