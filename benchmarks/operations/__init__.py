"""How Martlet bears being operated: by the hostile, the hurried, and the unlucky."""
