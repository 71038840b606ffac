"""Muon for the matrices, AdamW for the rest, behind one object that the training loop steps."""
