"""The cost of inference: time and memory of a call, by layer and operator."""

import logging

# torch.utils.benchmark and torch.compile search for compilers. They would warn without CUDA.
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
