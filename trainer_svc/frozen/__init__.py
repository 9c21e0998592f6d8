"""ONNX models from anywhere as versions: checked, wrapped where features are named, and offered like any other."""
