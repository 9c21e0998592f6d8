"""An ONNX model as the other servers' users would serve it. Each file runs in its server's own environment."""
