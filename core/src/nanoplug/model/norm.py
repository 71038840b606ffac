"""The one constant of RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467), which has no weight here."""

# The machine epsilon of fp32, also for inputs of lower precision: every kernel is told, none may choose its own.
NORM_EPS = 2.0**-23
