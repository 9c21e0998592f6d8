"""A conformance kit of the Open Inference Protocol's gRPC API, for any server: `python -m tests.conformance --help`.

Each case is one law with its source. Nothing here but `channel` knows protobuf, and nothing knows Martlet.
"""
