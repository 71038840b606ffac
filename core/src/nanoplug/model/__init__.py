"""The GPT model. It receives built attention and kernel objects and does not know that plugins exist."""
