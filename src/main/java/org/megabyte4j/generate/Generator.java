package org.megabyte4j.generate;

import java.util.ArrayList;
import java.util.List;
import org.megabyte4j.MegabyteException;
import org.megabyte4j.backend.Backend;
import org.megabyte4j.model.MegabyteConfig;
import org.megabyte4j.model.Parameters;
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
 * <p>Planned for one batch size and length; takes its memory at the first {@link #generate} and keeps it until it is
 * closed. Weights may change between two calls of {@code generate}. Used by one thread at a time, as its backend is.
 */
public final class Generator implements AutoCloseable {
    private final MegabyteConfig config;
    private final int batch;
    private final int length;
    private final Predictor predictor;

    /**
     * A generator of {@link Alignment#ALIGNED} text.
     *
     * @param batch  sequences that are generated side by side; a request may have more, in groups of so many
     * @param length bytes of the longest sequence, prompt and continuation together
     */
    public Generator(Backend backend, Parameters parameters, int batch, int length) {
        this(backend, parameters, batch, length, Alignment.ALIGNED);
    }

    /**
     * @throws MegabyteException if the batch or the length is not possible with this model, or the device does not
     *                           compute in the parameters' type
     */
    public Generator(Backend backend, Parameters parameters, int batch, int length, Alignment alignment) {
        if (batch < 1 || length < 1) {
            throw new GenerationException("a generator for " + batch + " sequences of " + length
                    + " bytes is not possible; use at least 1 of each");
        }
        backend.require(parameters.dtype());
        config = parameters.config();
        this.batch = batch;
        this.length = length;
        predictor = switch (alignment) {
            case ALIGNED -> new AlignedPredictor(backend, parameters, batch, length);
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
            Alignment alignment) {
        request.checkAgainst(parameters.config());
        return new Generator(backend, parameters, Math.min(batch, request.prompts().size()), request.length(),
                alignment);
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
        request.checkAgainst(config);
        if (request.length() > length) {
            throw new GenerationException("the request needs sequences of " + request.length()
                    + " bytes, but this generator is planned for " + length + "; plan it for " + request.length());
        }
        List<Generated> results = new ArrayList<>();
        for (int first = 0; first < request.prompts().size(); first += batch) {
            List<Sequence> group = new ArrayList<>();
            for (int i = first; i < Math.min(first + batch, request.prompts().size()); i++) {
                group.add(new Sequence(i, request.prompts().get(i), request.newIds()));
            }
            continueGroup(group, request, listener);
            group.forEach(sequence -> results.add(sequence.generated()));
        }
        return results;
    }

    private void continueGroup(List<Sequence> group, GenerationRequest request, IdListener listener) {
        predictor.start(group, request.sampling(), request.scored());
        while (group.stream().anyMatch(sequence -> !sequence.isFinished())) {
            predictor.step();
            for (int row = 0; row < group.size(); row++) {
                Sequence sequence = group.get(row);
                // Until then it is about an id of the prompt.
                if (!sequence.isFinished() && predictor.position(row) == sequence.length()) {
                    extend(sequence, row, request, listener);
                }
            }
        }
    }

    private void extend(Sequence sequence, int row, GenerationRequest request, IdListener listener) {
        int id = predictor.id(row);
        sequence.append(id, request.scored() ? Score.of(predictor.logits(row), id) : null);
        boolean goesOn = listener.accept(sequence.number(), id);
        if (request.stopAtEos() && id == config.eosId()) {
            sequence.finish(Generated.End.EOS);
        } else if (!goesOn) {
            sequence.finish(Generated.End.LISTENER);
        }
    }

    @Override
    public void close() {
        predictor.close();
    }
}
