"""Do the published results survive a careful look? Corrections, claims, choices, human coding.

`helpers.published` gives the archive and its statistics as published; what is here asks what they
are worth. Nothing imports torch.
"""
