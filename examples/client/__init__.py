"""How to call Martlet: each module is a whole program. See docs/clients.md."""
