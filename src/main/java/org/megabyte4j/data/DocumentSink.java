package org.megabyte4j.data;

/** Takes the documents of a source, piece by piece. */
interface DocumentSink {
    void write(byte[] bytes, int count);

    /** The document is complete. */
    void endDocument();
}
