"""Looking at one image, for every floor above: decoding, hashes, backbones, features."""
