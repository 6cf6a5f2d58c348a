-- Records of an account whose calls nobody signed, which are kept to a part of all.
CREATE INDEX audit_unsigned ON audit (id) WHERE access_key_id = '' AND account <> '';
