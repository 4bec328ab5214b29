-- What the source of an incident says of it besides, as JSON.

ALTER TABLE incidents ADD COLUMN IF NOT EXISTS details String CODEC(ZSTD(3)) AFTER followups;
