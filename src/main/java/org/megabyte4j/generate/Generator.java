package org.megabyte4j.generate;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReference;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;

/**
 * Continues prompts byte by byte.
 *
 * <pre>{@code
 * try (Generator generator = new Generator(backend, parameters, 1, 512)) {
 *     var sampling = SamplingOptions.random(42).withTemperature(0.8);
 *     var request = GenerationRequest.of("Today is", 100).withSampling(sampling);
 *     System.out.println(generator.generate(request).getFirst().text());
 * }
 * }</pre>
 *
 * <p>Planned for one batch size and length; takes its memory for the first id and keeps it until it is closed.
 * Weights may change between two generations. Used by one thread at a time, as its backend is.
 */
public final class Generator implements AutoCloseable {
    private final Backend backend;
    private final Parameters parameters;
    private final MegabyteConfig config;
    private final int batch;
    private final int length;
    private final Alignment alignment;
    private final DType weights;
    private final Predictor predictor;
    private final AtomicReference<Generation> current = new AtomicReference<>();

    /**
     * A generator of {@link Alignment#ALIGNED} text.
     *
     * @param batch  sequences that are generated side by side; a request may have more, in groups of so many
     * @param length bytes of the longest sequence, prompt and continuation together
     */
    public Generator(Backend backend, Parameters parameters, int batch, int length) {
        this(backend, parameters, batch, length, Alignment.ALIGNED, parameters.dtype());
    }

    /**
     * @param weights in which the matrices are read: the parameters' own type, or BF16 for a model that computes in
     *                float32. Then text is generated from copies rounded to BF16, which are half as much to read for
     *                each byte; everything else stays float32. They are made when a generation begins
     * @throws MegabyteException if the batch or the length is not possible with this model, or the device does not
     *                           compute in these types
     */
    public Generator(Backend backend, Parameters parameters, int batch, int length, Alignment alignment,
            DType weights) {
        if (batch < 1 || length < 1) {
            throw new GenerationException("a generator for " + batch + " sequences of " + length
                    + " bytes is not possible; use at least 1 of each");
        }
        backend.require(parameters.dtype(), weights);
        if (alignment == Alignment.REFERENCE && weights != parameters.dtype()) {
            throw new GenerationException("weights in " + weights.label() + " are not possible with the alignment "
                    + alignment + "; use the alignment " + Alignment.ALIGNED + ", or weights in "
                    + parameters.dtype().label());
        }
        this.backend = backend;
        this.parameters = parameters;
        config = parameters.config();
        this.batch = batch;
        this.length = length;
        this.alignment = alignment;
        this.weights = weights;
        predictor = switch (alignment) {
            case ALIGNED -> new AlignedPredictor(backend, parameters, batch, length, weights);
            case REFERENCE -> new ReferencePredictor(backend, parameters, batch, length);
        };
    }

    /**
     * A generator that just fits a request.
     *
     * @param batch the most sequences side by side
     * @throws MegabyteException if the model cannot serve the request
     */
    public static Generator forRequest(GenerationRequest request, Backend backend, Parameters parameters, int batch,
            Alignment alignment, DType weights) {
        request.checkAgainst(parameters.config());
        return new Generator(backend, parameters, Math.min(batch, request.prompts().size()), request.length(),
                alignment, weights);
    }

    /**
     * As {@link #forRequest(GenerationRequest, Backend, Parameters, int, Alignment, DType)}, with weights in the
     * parameters' own type.
     */
    public static Generator forRequest(GenerationRequest request, Backend backend, Parameters parameters, int batch,
            Alignment alignment) {
        return forRequest(request, backend, parameters, batch, alignment, parameters.dtype());
    }

    /** The memory that generating takes besides the weights. */
    public MemoryPlan plan() {
        return predictor.plan();
    }

    /** Continues every prompt; the results stand in the order of the prompts. */
    public List<Generated> generate(GenerationRequest request) {
        return generate(request, IdListener.SILENT);
    }

    /**
     * Continues every prompt.
     *
     * @param listener hears of each id as soon as the host has it; what it throws ends the generation, and the
     *                 generator stays usable
     * @throws MegabyteException if an id lies outside the vocabulary, the request is longer than the generator or the
     *                           model allows, or the model gives no usable logits
     */
    public List<Generated> generate(GenerationRequest request, IdListener listener) {
        try (Generation generation = start(request)) {
            return generation.run(listener);
        }
    }

    /**
     * Begins with every prompt; ids come as they are asked for. One generation at a time: close it before the next.
     *
     * @throws MegabyteException as in {@link #generate(GenerationRequest, IdListener)}
     */
    public Generation start(GenerationRequest request) {
        check(request);
        List<Sequence> sequences = new ArrayList<>();
        for (int i = 0; i < request.prompts().size(); i++) {
            sequences.add(new Sequence(i, request.prompts().get(i), request.newIds()));
        }
        return begin(request, sequences, null);
    }

    /**
     * Goes on where a generation was saved.
     *
     * @param state stays open until the first id is there
     * @throws GenerationException if it is another model's, of another dtype, alignment or batch, or longer than this
     *                             generator; the message says what differs
     */
    public Generation resume(GenerationState state) {
        state.require(this);
        check(state.request());
        return begin(state.request(), state.sequences(), state);
    }

    private void check(GenerationRequest request) {
        request.checkAgainst(config);
        if (request.length() > length) {
            throw new GenerationException("the request needs sequences of " + request.length()
                    + " bytes, but this generator is planned for " + length + "; plan it for " + request.length());
        }
    }

    private Generation begin(GenerationRequest request, List<Sequence> sequences, GenerationState resumed) {
        Generation generation = new Generation(this, request, sequences, resumed);
        if (!current.compareAndSet(null, generation)) {
            throw new IllegalStateException("this generator has a generation that is not closed; close it first, or use"
                    + " another generator");
        }
        return generation;
    }

    void release(Generation generation) {
        current.compareAndSet(generation, null);
    }

    Predictor predictor() {
        return predictor;
    }

    MegabyteConfig config() {
        return config;
    }

    /** Sequences side by side. */
    int batch() {
        return batch;
    }

    /** For what is saved: reads all weights. */
    GeneratorIdentity identity() {
        return new GeneratorIdentity(GeneratorIdentity.json(config), parameters.checksum(backend),
                parameters.dtype(), weights, alignment);
    }

    /** Closes the generation that is not closed, and gives all memory back. */
    @Override
    public void close() {
        Generation open = current.get();
        if (open != null) {
            open.close();
        }
        predictor.close();
    }
}
