package org.megabyte4j.generate;

import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.concurrent.Executor;
import java.util.concurrent.Flow;
import org.megabyte4j.checkpoint.CheckpointException;
import org.megabyte4j.checkpoint.TensorSource;

/**
 * One request on its way: ids one after the other, each computed when it is asked for. A GPU is up to four patches ahead of
 * that, unless ids are scored.
 *
 * <pre>{@code
 * try (Generation generation = generator.start(request)) {
 *     while (generation.hasNext()) {
 *         GeneratedId next = generation.next();
 *         ...
 *     }
 * }
 * }</pre>
 *
 * <p>The same ids can be had through a listener ({@link #run}) or a publisher ({@link #publisher}). Whoever asks for
 * ids does so in a thread that may use the generator's backend; {@link #cancel} and {@link #close} may be called in any
 * other at any time. Sequences of a batch grow together, so their ids alternate; those behind the batch follow when all
 * of it have ended.
 */
public final class Generation implements Iterator<GeneratedId>, AutoCloseable {
    private final Generator generator;
    private final Predictor predictor;
    private final GenerationRequest request;
    private final List<Sequence> sequences;
    private GenerationState resumed;      // until its caches are restored, or null
    private int first;                    // number of the current group's first sequence
    private List<Sequence> group = List.of();
    private int row;                      // of the group, the next to look at in the current step
    private volatile boolean cancelled;
    private boolean closed;

    /**
     * @param sequences all of the request
     * @param resumed   the state that they come from, or null
     */
    Generation(Generator generator, GenerationRequest request, List<Sequence> sequences, GenerationState resumed) {
        this.generator = generator;
        this.predictor = generator.predictor();
        this.request = request;
        this.sequences = sequences;
        this.resumed = resumed;
        first = resumed == null ? 0 : resumed.first();
    }

    /**
     * Whether there is another id; computes what it takes to know that.
     *
     * @return false at the end, and once the generation is cancelled or closed
     */
    @Override
    public synchronized boolean hasNext() {
        while (!cancelled && !closed) {
            while (row < group.size() && !isDue()) {
                row++;
            }
            if (row < group.size()) {
                return true;
            }
            if (group.stream().allMatch(Sequence::isFinished)) {
                if (!startGroup()) {
                    return false;
                }
            } else {
                predictor.step();
                row = 0;
            }
        }
        return false;
    }

    /** Whether the current row has come to an id that is not known. */
    private boolean isDue() {
        Sequence sequence = group.get(row);
        return !sequence.isFinished() && predictor.position(row) == sequence.length();
    }

    /** Goes on to the next sequences that have not ended; false if there are none. */
    private boolean startGroup() {
        Sequence next = sequences.stream().filter(sequence -> !sequence.isFinished()).findFirst().orElse(null);
        if (next == null) {
            return false;
        }
        first = next.number() / generator.batch() * generator.batch();
        List<Sequence> starting = sequences.subList(first, Math.min(first + generator.batch(), sequences.size()));
        predictor.start(starting, request.sampling(), request.scored());
        if (resumed != null) {
            resumed.restore(predictor, first);
            resumed = null;
        }
        group = starting;
        row = group.size();
        return true;
    }

    /**
     * The next id.
     *
     * @throws NoSuchElementException if there is none, see {@link #hasNext}
     * @throws GenerationException    if the model gives no usable logits
     */
    @Override
    public synchronized GeneratedId next() {
        // What hasNext has promised is there, even if the generation has been cancelled since.
        if (!(row < group.size() && isDue()) && !hasNext()) {
            throw new NoSuchElementException("the generation is over");
        }
        Sequence sequence = group.get(row);
        int id = predictor.id(row);
        Score score = request.scored() ? Score.of(predictor.logits(row), id) : null;
        sequence.append(id, score);
        if (request.stopAtEos() && id == generator.config().eosId()) {
            sequence.finish(Generated.End.EOS);
        }
        row++;
        return new GeneratedId(sequence.number(), id, score);
    }

    /** Gives a listener all ids that are left. */
    public List<Generated> run(IdListener listener) {
        while (hasNext()) {
            GeneratedId next = next();
            if (!listener.accept(next.sequence(), next.id())) {
                end(next.sequence());
            }
        }
        return results();
    }

    /**
     * All ids that are left for one subscriber, who gets no more than it asks for: an id is computed when it is wanted
     * (on a GPU a few patches are, see above).
     * Cancelling the subscription cancels the generation. If someone else cancels or closes it, the subscriber gets a
     * {@link java.util.concurrent.CancellationException}.
     *
     * @param executor computes and calls the subscriber, with a task for each time that more is wanted; one task at a
     *                 time. The threads must be such as may use the backend: for a GPU only the one that opened it
     */
    public Flow.Publisher<GeneratedId> publisher(Executor executor) {
        return new IdPublisher(this, executor);
    }

    /**
     * Ends one sequence; the others go on. Does nothing if it has ended.
     *
     * @param sequence number of the prompt in its request, from 0
     */
    public synchronized void end(int sequence) {
        if (!sequences.get(sequence).isFinished()) {
            sequences.get(sequence).finish(Generated.End.LISTENER);
        }
    }

    /**
     * Ends the generation, from any thread and without waiting: what is being computed is the last, which is a block of
     * a long prompt, a byte, or on a GPU up to four patches. It can still be saved.
     */
    public void cancel() {
        cancelled = true;
    }

    /** Whether every sequence has ended. */
    synchronized boolean isFinished() {
        return sequences.stream().allMatch(Sequence::isFinished);
    }

    /** What there is so far, in the order of the prompts. */
    public synchronized List<Generated> results() {
        Generated.End open = cancelled ? Generated.End.CANCELLED : null;
        return sequences.stream().map(sequence -> sequence.generated(open)).toList();
    }

    /**
     * Writes all that it takes to go on from here: {@link GenerationState}. The generation goes on, too.
     *
     * @throws CheckpointException if the file cannot be written; what was there before stays
     */
    public synchronized void save(Path file) {
        if (closed) {
            throw new IllegalStateException("the generation is closed; save it before");
        }
        List<TensorSource> caches = resumed != null ? resumed.caches()
                : group.isEmpty() ? List.of() : predictor.caches();
        GenerationState.write(file, generator, request, sequences, first, caches);
    }

    /** Cancels what is left, waits for what is being computed, and makes the generator free for others. */
    @Override
    public void close() {
        cancelled = true;
        synchronized (this) {
            closed = true;
            group = List.of();
            generator.release(this);
        }
    }
}
