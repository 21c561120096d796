"""How one network is trained and tested."""
