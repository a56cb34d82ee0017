package org.megabyte4j.data;

import java.util.Arrays;
import java.util.stream.IntStream;

/**
 * Stretches of a corpus, in its order, such as what is left for training when some is held out. Positions count ids:
 * the bytes and the eos ids between documents.
 */
public final class CorpusPart {
    private final String name;
    private final Corpus corpus;
    private final long[] starts;     // of each stretch, in the corpus
    private final long[] offsets;    // of each stretch, in this part; then the length of the part

    /**
     * @param name   what the part is for, as messages call it
     * @param starts where each stretch begins
     * @param ends   where it ends, exclusive; stretches are in order, do not overlap and are not empty
     */
    CorpusPart(String name, Corpus corpus, long[] starts, long[] ends) {
        this.name = name;
        this.corpus = corpus;
        this.starts = starts;
        offsets = new long[starts.length + 1];
        for (int i = 0; i < starts.length; i++) {
            offsets[i + 1] = offsets[i] + ends[i] - starts[i];
        }
    }

    /** What the part is for, as messages call it: "training" or "validation". */
    public String name() {
        return name;
    }

    /** Ids in all stretches together. */
    public long length() {
        return offsets[starts.length];
    }

    /** Ids in the longest of its stretches; no sequence can hold more. */
    public long longestStretch() {
        return IntStream.range(0, stretches()).mapToLong(this::stretchLength).max().orElse(0);
    }

    /** The first ids of this part, all of it if it has no more. */
    public CorpusPart first(long count) {
        int kept = 0;
        while (kept < starts.length && offsets[kept] < count) {
            kept++;
        }
        long[] ends = new long[kept];
        for (int i = 0; i < kept; i++) {
            ends[i] = starts[i] + Math.min(stretchLength(i), count - offsets[i]);
        }
        return new CorpusPart(name, corpus, Arrays.copyOf(starts, kept), ends);
    }

    /** @throws DataException if there is nothing in it */
    CorpusPart requireData() {
        if (length() == 0) {
            throw new DataException("there is no " + name + " data: all of " + corpus.description()
                    + " was taken for the other part; change the share held out for validation, or name " + name
                    + " data of its own");
        }
        return this;
    }

    int stretches() {
        return starts.length;
    }

    long stretchLength(int stretch) {
        return offsets[stretch + 1] - offsets[stretch];
    }

    /** Reads from one stretch, from a position counted from the stretch's own start. */
    void readStretch(int stretch, long position, int[] ids, int offset, int count) {
        corpus.read(starts[stretch] + position, ids, offset, count);
    }

    /**
     * Reads ids one after the other, across stretches.
     *
     * @param position of the first one in this part
     * @param ids      into which to read
     * @param offset   index of the first one there
     * @param count    how many; they must lie within the part
     */
    public void read(long position, int[] ids, int offset, int count) {
        int found = Arrays.binarySearch(offsets, position);
        int stretch = found >= 0 ? found : -found - 2;
        int done = 0;
        while (done < count) {
            long from = position + done - offsets[stretch];
            int now = (int) Math.min(count - done, stretchLength(stretch) - from);
            readStretch(stretch, from, ids, offset + done, now);
            done += now;
            stretch++;
        }
    }
}
