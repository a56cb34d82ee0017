package org.megabyte4j.backend.cpu;

import org.megabyte4j.backend.AttentionShape;

/** Where the heads of {@link AttentionShape}'s packed rows lie, in elements. */
record PackedRows(AttentionShape shape) {
    long query(long row, int head) {
        return row * shape.packedWidth() + (long) head * shape.headSize();
    }

    long key(long row, int head) {
        return query(row, shape.heads() + keyValueHead(head));
    }

    long value(long row, int head) {
        return query(row, shape.heads() + shape.keyValueHeads() + keyValueHead(head));
    }

    /** The key/value head that a query head shares. */
    int keyValueHead(int head) {
        return head / (shape.heads() / shape.keyValueHeads());
    }

    /** Whether a query head is the first of those that share keys and values. */
    boolean beginsGroup(int head) {
        return head % (shape.heads() / shape.keyValueHeads()) == 0;
    }

    /** In the attention's result, whose rows hold the query heads alone. */
    long out(long row, int head) {
        return row * shape.width() + (long) head * shape.headSize();
    }

    /** In rows that hold keys and values alone, as in a cache. */
    long cachedKey(long row, int head) {
        return row * shape.keyValueWidth() + (long) keyValueHead(head) * shape.headSize();
    }

    long cachedValue(long row, int head) {
        return cachedKey(row, head) + (long) shape.keyValueHeads() * shape.headSize();
    }
}
