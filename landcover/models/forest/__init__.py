"""Forests in ONNX: checked, laid out for speed, and walked by compiled kernels."""
