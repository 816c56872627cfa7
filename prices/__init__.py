"""The built-in prices as code: `python -m prices` writes them from the library genai-prices."""
