"""Processing of one image: safe decoding, perceptual hashes, quality scores, backbones, weights and cached features.

Every module may be imported by every higher floor.
"""
