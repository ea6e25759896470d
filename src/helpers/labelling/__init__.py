"""The AI crowd: labellers, their questions, and the durable store of their answers."""
