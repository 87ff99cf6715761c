-- Whether a process delivers: those that do divide what a watch's rate allows among them.
ALTER TABLE replicas ADD COLUMN works INTEGER NOT NULL DEFAULT 0 CHECK (works IN (0, 1));
