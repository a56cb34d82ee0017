package org.megabyte4j.backend.cuda;

import org.megabyte4j.backend.Backend;
import org.megabyte4j.backend.ForwardingBackend;
import org.megabyte4j.backend.LocalWeights;

/** A device that decodes no patch at one go. */
final class ByteByByte extends ForwardingBackend {
    ByteByByte(Backend to) {
        super(to);
    }

    @Override
    public boolean decodesPatches(LocalWeights model, long batch, int patchSize) {
        return false;
    }

    @Override
    public void close() {
        // It is the other one's.
    }
}
