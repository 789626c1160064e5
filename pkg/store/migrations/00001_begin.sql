-- The same statements for SQLite and PostgreSQL. Times are nanoseconds since 1970, bodies JSON or messages of the feed.

-- +goose Up

-- One row: who leads, the epoch of the history, the last change that left the outbox, and where in the feed it is.
CREATE TABLE leader (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    term     BIGINT NOT NULL,
    name     TEXT   NOT NULL,
    until_ns BIGINT NOT NULL,
    epoch    BIGINT NOT NULL,
    acked    BIGINT NOT NULL,
    bookmark TEXT   NOT NULL
);
INSERT INTO leader (id, term, name, until_ns, epoch, acked, bookmark) VALUES (1, 0, '', 0, 0, 0, '');

CREATE TABLE patterns (
    id   TEXT PRIMARY KEY,
    body BYTEA NOT NULL
);

CREATE TABLE runs (
    id           TEXT PRIMARY KEY,
    service_date INTEGER NOT NULL,
    epoch        BIGINT  NOT NULL,
    revision     BIGINT  NOT NULL,
    body         TEXT    NOT NULL
);
CREATE INDEX runs_by_date ON runs (service_date);

CREATE TABLE orders (
    id           TEXT PRIMARY KEY,
    key          TEXT    NOT NULL UNIQUE,
    state        TEXT    NOT NULL,
    run          TEXT    NOT NULL,
    service_date INTEGER NOT NULL,
    deadline_ns  BIGINT  NOT NULL,
    owing        INTEGER NOT NULL,
    body         TEXT    NOT NULL
);
CREATE INDEX orders_by_run ON orders (run);
CREATE INDEX orders_holding ON orders (service_date) WHERE state IN ('RESERVED', 'PAID');
CREATE INDEX orders_unpaid ON orders (deadline_ns) WHERE state = 'RESERVED';
CREATE INDEX orders_owing ON orders (id) WHERE owing = 1;

CREATE TABLE outbox (
    seq   BIGINT PRIMARY KEY,
    at_ns BIGINT NOT NULL,
    delta BYTEA  NOT NULL,
    state BYTEA
);

-- +goose Down
DROP TABLE outbox;
DROP TABLE orders;
DROP TABLE runs;
DROP TABLE patterns;
DROP TABLE leader;
