"""Looking at one picture, for every floor above: decoding, hashes, backbones, features."""
