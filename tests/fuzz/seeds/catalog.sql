INSERT INTO images (image_id, path, format, width, height, mode, bytes, phash, added, label)
VALUES ('1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a', 'data/images/1a/1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a.jpg', 'JPEG', 64, 48, 'RGB', 9, '0000000000000000', '2026-01-01T00:00:00.000000+00:00', 'cat');
INSERT INTO candidates (url_key, url, state, image_id, updated) VALUES ('x', 'https://example.org/x.jpg', 'accepted', '1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a', '2026-01-01T00:00:00.000000+00:00');
INSERT INTO provenance (candidate_id, source, category, query, rank, page_url, author, license, license_found, thumbnail, original, found)
VALUES (1, 'site', 'cat', '', 1, '', 'Ana', 'MIT', 'MIT', 0, '', '2026-01-01T00:00:00.000000+00:00');
INSERT INTO groups VALUES ('1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a', '1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a', 1, '', 0, 'copy');
INSERT INTO decisions VALUES (1, '1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a', '2026-01-01T00:00:00.000000+00:00', 'label', 'person', 'ana', '', '', 'cat', '', '', '', '');
