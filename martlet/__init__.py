"""What Martlet's services share: values, formats and the edge. Knows no service."""

__version__ = "0.1.0"
