package org.megabyte4j.data;

import java.nio.file.Path;
import java.util.function.LongConsumer;

/** What a model is trained on and what is held out to validate it, which never overlap. Owns the corpora. */
public final class TrainingData implements AutoCloseable {
    private final CorpusPart train;
    private final CorpusPart validation;
    private final String fingerprint;
    private final Corpus corpus;
    private final Corpus validationCorpus;   // null if it is a share of the other

    private TrainingData(CorpusPart train, CorpusPart validation, String fingerprint, Corpus corpus,
            Corpus validationCorpus) {
        this.train = train;
        this.validation = validation;
        this.fingerprint = fingerprint;
        this.corpus = corpus;
        this.validationCorpus = validationCorpus;
    }

    /**
     * Holds out a share of one corpus: the corpus is cut into pieces of equal length, and the last ids of each are held
     * out. One piece holds out the end of the corpus; more of them spread the validation data over it.
     *
     * @param fraction    share held out, from 0 to below 1; at least one id of a piece is, unless it is 0
     * @param pieces      at least 1; fewer if the corpus has not two ids for each
     * @param cacheFolder see {@link Corpus#open}
     * @param eosId       the id between documents
     * @param progress    see {@link Corpus#open}
     * @throws DataException if the data or the share cannot be used
     */
    public static TrainingData split(CorpusSource source, double fraction, int pieces, Path cacheFolder, int eosId,
            LongConsumer progress) {
        if (!(fraction >= 0 && fraction < 1)) {
            throw new DataException("a validation share of " + fraction + " is not possible; use 0 or more, and less"
                    + " than 1");
        }
        if (pieces < 1) {
            throw new DataException("validation data cannot come from " + pieces + " pieces; use at least 1");
        }
        Corpus corpus = Corpus.open(source, cacheFolder, eosId, progress);
        return split(corpus, fraction, fraction == 0 ? 1 : (int) Math.min(pieces, Math.max(1, corpus.length() / 2)));
    }

    private static TrainingData split(Corpus corpus, double fraction, int pieces) {
        long[] starts = new long[pieces];
        long[] cuts = new long[pieces];
        long[] ends = new long[pieces];
        for (int i = 0; i < pieces; i++) {
            starts[i] = i == 0 ? 0 : ends[i - 1];
            ends[i] = starts[i] + (corpus.length() - starts[i]) / (pieces - i);
            long size = ends[i] - starts[i];
            cuts[i] = fraction == 0 || size == 1 ? ends[i]
                    : ends[i] - Math.clamp(Math.round(size * fraction), 1, size - 1);
        }
        boolean any = cuts[0] < ends[0];
        return new TrainingData(new CorpusPart("training", corpus, starts, cuts),
                new CorpusPart("validation", corpus, any ? cuts : new long[0], any ? ends : new long[0]),
                Fingerprint.of(corpus.fingerprint(), "share " + fraction, "pieces " + pieces), corpus, null);
    }

    /**
     * Trains on all of one corpus and validates on all of another.
     *
     * @param cacheFolder see {@link Corpus#open}
     * @param eosId       the id between documents
     * @param progress    see {@link Corpus#open}
     * @throws DataException if the data cannot be used
     */
    public static TrainingData separate(CorpusSource training, CorpusSource validation, Path cacheFolder, int eosId,
            LongConsumer progress) {
        Corpus corpus = Corpus.open(training, cacheFolder, eosId, progress);
        try {
            Corpus heldOut = Corpus.open(validation, cacheFolder, eosId, progress);
            return new TrainingData(corpus.all("training"), heldOut.all("validation"),
                    Fingerprint.of(corpus.fingerprint(), heldOut.fingerprint()), corpus, heldOut);
        } catch (RuntimeException e) {
            corpus.close();
            throw e;
        }
    }

    public CorpusPart train() {
        return train;
    }

    /** Ids held out; may be empty. */
    public CorpusPart validation() {
        return validation;
    }

    /**
     * Of the content of both parts and how they were divided, in hexadecimal. A run goes on only with data that has the
     * same one.
     */
    public String fingerprint() {
        return fingerprint;
    }

    @Override
    public void close() {
        try (corpus; validationCorpus) {
            // both are closed, also where one of them fails to
        }
    }
}
