-- The first schema. A schema that was released never changes: what comes later is the next file.
-- Times are milliseconds since 1970 UTC. Texts are compared by their bytes.

CREATE TABLE kaban_schema (version integer NOT NULL); -- the number of the newest of these files

-- The one row about the database itself.
CREATE TABLE store (
	id       smallint PRIMARY KEY CHECK (id = 1),
	epoch    text     NOT NULL,
	created  bigint   NOT NULL,
	secret   bytea    NOT NULL, -- the key of the sums of texts
	system   bigint   NOT NULL, -- the system identifier of the cluster that has it
	timeline bigint   NOT NULL, -- the newest one that a node has seen
	keep     boolean  NOT NULL  -- whether the next change of the timeline keeps the epoch
);

-- A row without entries and without a revision stands for no room: it was made for an append that
-- stored nothing. Heads change all the time, so pages have room for another version of each row.
CREATE TABLE rooms (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	key      text   COLLATE "C" NOT NULL UNIQUE, -- the folded name
	name     text   COLLATE "C" NOT NULL,        -- the first that was used
	head     bigint NOT NULL DEFAULT 0,
	oldest   bigint NOT NULL DEFAULT 1,
	revision bigint NOT NULL DEFAULT 0,
	messages bigint NOT NULL DEFAULT 0, -- entries of kind 1 up to the head
	front    bigint NOT NULL DEFAULT 0, -- those of them that are not kept
	noops    bigint NOT NULL DEFAULT 0  -- entries that were numbered downwards from 0
) WITH (fillfactor = 50);

-- The logs of all rooms. The kinds are 1 message, 2 edit, 3 delete, 4 react, 5 pin, and others that
-- change no message. A message has the text that it has now. An edit has none: the message has it.
--
-- An entry with a seq below 0 is the id of a change that made no difference to its target. It is in
-- no log. It is here so that one key keeps ids apart. The id is first in that key, because ids of
-- clients begin with the time: so new ones come to one place of the index, and not to one for each
-- author, which takes twice as long.
CREATE TABLE entries (
	room     bigint   NOT NULL,
	seq      bigint   NOT NULL,
	time     bigint   NOT NULL,
	target   bigint   NOT NULL,
	kind     smallint NOT NULL,
	author   text     COLLATE "C" NOT NULL,
	username text     COLLATE "C" NOT NULL,
	id       text     COLLATE "C" NOT NULL,
	content  text     COLLATE "C" NOT NULL,
	files    text     COLLATE "C" NOT NULL,
	original bytea,  -- the sum of the text that was appended, once that is not the content
	answer   bigint, -- of an entry below 0: the seq that its id is answered with
	PRIMARY KEY (room, seq),
	UNIQUE (id, room, author)
);
CREATE INDEX replies ON entries (room, target, seq) WHERE kind = 1 AND target > 0;
CREATE INDEX noops ON entries (room, target) WHERE seq < 0;

-- What has become of messages that were edited, deleted, pinned or answered. A seq of 0 is never.
CREATE TABLE states (
	room         bigint NOT NULL,
	seq          bigint NOT NULL, -- of the message
	edited       bigint NOT NULL,
	edited_time  bigint NOT NULL,
	deleted      bigint NOT NULL,
	deleted_time bigint NOT NULL,
	pinned       bigint NOT NULL,
	pinned_time  bigint NOT NULL,
	replies      bigint NOT NULL,
	PRIMARY KEY (room, seq)
);

-- The reactions that are there now.
CREATE TABLE reactions (
	room     bigint NOT NULL,
	seq      bigint NOT NULL, -- of the message
	emoji    text   COLLATE "C" NOT NULL,
	author   text   COLLATE "C" NOT NULL,
	username text   COLLATE "C" NOT NULL,
	since    bigint NOT NULL, -- the entry that added it
	time     bigint NOT NULL,
	PRIMARY KEY (room, seq, emoji, author)
);

-- Whom messages mention: an account by its name, or, without one, many at once.
CREATE TABLE mentions (
	account text     COLLATE "C" NOT NULL,
	room    bigint   NOT NULL,
	seq     bigint   NOT NULL, -- of the message
	cause   smallint NOT NULL, -- 1 the name, 2 everyone, 3 here
	by      text     COLLATE "C" NOT NULL, -- the account that has written the message
	time    bigint   NOT NULL,
	online  text[]   COLLATE "C" NOT NULL, -- of cause 3: the accounts that were online
	PRIMARY KEY (account, room, seq, cause)
);
CREATE INDEX mentions_of_message ON mentions (room, seq);
CREATE INDEX mentions_by_time ON mentions (time);

-- How many messages each author has written in a room, up to a seq. An append does not count: what
-- is behind that seq is counted when somebody asks, and added once it is much.
CREATE TABLE counted (
	room bigint PRIMARY KEY,
	seq  bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE counts (
	room     bigint NOT NULL,
	author   text   COLLATE "C" NOT NULL,
	messages bigint NOT NULL,
	front    bigint NOT NULL, -- those that are not kept
	PRIMARY KEY (room, author)
);

-- State beside the logs. A key is a text, compared by its bytes.
CREATE TABLE documents (
	key   bytea PRIMARY KEY,
	value bytea NOT NULL
);

-- The planner keeps samples of columns, which anybody may read that may read the column. Those of texts and
-- names would outlive what was deleted. No plan needs them.
ALTER TABLE entries ALTER content SET STATISTICS 0, ALTER files SET STATISTICS 0, ALTER author SET STATISTICS 0, ALTER username SET STATISTICS 0;
ALTER TABLE reactions ALTER author SET STATISTICS 0, ALTER username SET STATISTICS 0;
ALTER TABLE counts ALTER author SET STATISTICS 0;
ALTER TABLE documents ALTER key SET STATISTICS 0, ALTER value SET STATISTICS 0;

-- For people who look into the database.
CREATE VIEW log (room, seq, time, username, content) AS
	SELECT r.name, e.seq, to_timestamp(e.time / 1000.0), e.username, e.content
	FROM entries e JOIN rooms r ON r.id = e.room WHERE e.seq > 0;

-- What tells that a transaction of documents was committed, for a node that has lost its COMMIT: the
-- last one of each open store. Those of stores that are gone are removed after an hour.
CREATE TABLE commits (
	handle text        COLLATE "C" PRIMARY KEY, -- names the store; another one each time it is opened
	note   text        COLLATE "C" NOT NULL,
	at     timestamptz NOT NULL
) WITH (fillfactor = 50);

-- append_entries stores entries, or nothing. The rooms are distinct and ascending; revisions has what
-- each must have, or -1. The entries refer to rooms by their positions and have numbers from 1 in
-- each. kinds, targets and file_lists are empty if all entries are messages without a target or files. It returns {0}, how far the WAL is, and the heads of the rooms before; {1} if a revision is
-- another one, or the only room is not there; {2} if an id is known, which it looks for only if it is asked to.
--
-- The plans are made once in a session. They find rooms by their ids, whatever there was when they were made: the
-- settings leave the planner nothing else.
--
-- Each statement of the function sees what was committed before that statement. So the statement
-- that looks for ids sees what everybody has stored that held the locks before; one that locks and
-- looks would not.
CREATE FUNCTION append_entries(
	look boolean, at bigint, room_ids bigint[], revisions bigint[], added bigint[], messages_added bigint[],
	positions integer[], numbers bigint[], kinds smallint[], authors text[], usernames text[], ids text[], targets bigint[], contents text[], file_lists text[],
	mentioned integer[], accounts text[], causes smallint[], writers text[], onlines text[]
) RETURNS bigint[] LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
	one boolean := cardinality(room_ids) = 1 AND NOT look;
	heads bigint[];
	actual bigint[]; -- revisions
BEGIN
	IF one THEN
		-- One statement locks the room, compares its revision and raises its head.
		UPDATE rooms SET head = head + added[1], messages = messages + messages_added[1]
		WHERE id = room_ids[1] AND revisions[1] IN (-1, revision) RETURNING ARRAY[head - added[1]] INTO heads;
		IF NOT FOUND THEN
			RETURN '{1}';
		END IF;
	ELSE
		SELECT array_agg(l.head), array_agg(l.revision) INTO heads, actual
		FROM (SELECT head, revision FROM rooms WHERE id = ANY (room_ids) ORDER BY id FOR NO KEY UPDATE) l;
		IF cardinality(heads) IS DISTINCT FROM cardinality(room_ids) THEN
			RAISE 'a room does not exist';
		END IF;
		-- What is nested is a statement, which takes time to begin.
		IF revisions <> actual THEN
			IF EXISTS (SELECT FROM unnest(revisions, actual) AS r (known, actual) WHERE r.known NOT IN (-1, r.actual)) THEN
				RETURN '{1}';
			END IF;
		END IF;
		IF look THEN
			-- The comparison of rows leaves the planner no other index.
			IF EXISTS (
				SELECT FROM unnest(positions, authors, ids) AS k (position, author, id)
				CROSS JOIN LATERAL (
					SELECT e.room, e.author, e.id FROM entries e
					WHERE (e.id, e.room, e.author) >= (k.id, room_ids[k.position], k.author) ORDER BY e.id, e.room, e.author LIMIT 1
				) e
				WHERE e.room = room_ids[k.position] AND e.author = k.author AND e.id = k.id
			) THEN
				RETURN '{2}';
			END IF;
		END IF;
	END IF;
	INSERT INTO entries (room, seq, time, target, kind, author, username, id, content, files)
	SELECT room_ids[e.position], heads[e.position] + e.number, at, coalesce(e.target, 0), coalesce(e.kind, 1), e.author, e.username, e.id, e.content, coalesce(e.files, '')
	FROM (
		SELECT unnest(positions) AS position, unnest(numbers) AS number, unnest(targets) AS target, unnest(kinds) AS kind, unnest(authors) AS author,
			unnest(usernames) AS username, unnest(ids) AS id, unnest(contents) AS content, unnest(file_lists) AS files
	) e;
	IF cardinality(mentioned) > 0 THEN
		INSERT INTO mentions (account, room, seq, cause, by, time, online)
		SELECT m.account, room_ids[positions[m.entry]], heads[positions[m.entry]] + numbers[m.entry], m.cause, m.by, at, string_to_array(m.online, ' ')
		FROM unnest(mentioned, accounts, causes, writers, onlines) AS m (entry, account, cause, by, online);
	END IF;
	IF NOT one THEN
		UPDATE rooms r SET head = r.head + u.added, messages = r.messages + u.messages
		FROM unnest(room_ids, added, messages_added) AS u (id, added, messages) WHERE r.id = u.id;
	END IF;
	RETURN ARRAY[0, (pg_current_wal_insert_lsn() - '0/0')::bigint] || heads;
END
$$;

-- count_entries counts what is behind the seq up to which a room is counted.
CREATE FUNCTION count_entries(counted_room bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	done bigint;
	last bigint;
BEGIN
	SELECT c.seq INTO done FROM counted c WHERE c.room = counted_room FOR NO KEY UPDATE;
	SELECT r.head INTO last FROM rooms r WHERE r.id = counted_room;
	IF done IS NULL OR last <= done THEN
		RETURN;
	END IF;
	INSERT INTO counts AS c (room, author, messages, front)
	SELECT counted_room, e.author, count(*), 0 FROM entries e
	WHERE e.room = counted_room AND e.seq > done AND e.seq <= last AND e.kind = 1 GROUP BY e.author ORDER BY e.author
	ON CONFLICT (room, author) DO UPDATE SET messages = c.messages + excluded.messages;
	UPDATE counted SET seq = last WHERE room = counted_room;
END
$$;
