"""Encoders with a linear head, trained in part or whole, and the dictionary that they are held to.

`settings` says what is trained, `model` builds it, `states` keeps what frozen layers make of the
texts, `fit` trains and predicts; `dictionary` learns words instead, `occlusion` takes a prediction
apart. torch is imported when a function is called.
"""

from helpers.encoders.settings import (
    ENCODER_METHODS,
    EncoderSettings,
    is_encoder_method,
    method_settings,
)

__all__ = ["ENCODER_METHODS", "EncoderSettings", "is_encoder_method", "method_settings"]
