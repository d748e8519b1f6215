"""Those who are told of packets going by: they look and never touch."""
