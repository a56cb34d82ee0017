package org.megabyte4j.cli;

import org.megabyte4j.tensor.DType;
import org.megabyte4j.train.OptimizerOptions;
import picocli.CommandLine.Option;

/** Which optimiser, and its constants. */
final class OptimizerArguments {
    /** Element types that an optimiser's state can have. */
    enum Precision { F32, BF16 }

    @Option(names = "--optimizer", paramLabel = "NAME",
            description = "${COMPLETION-CANDIDATES}; default adamw.")
    private OptimizerOptions.Kind kind;

    @Option(names = "--beta1", paramLabel = "X", description = "AdamW: decay of the first moment; default 0.9.")
    private Double beta1;

    @Option(names = "--beta2", paramLabel = "X",
            description = "AdamW: decay of the second moment; default 0.95, for anyprecision 0.999.")
    private Double beta2;

    @Option(names = "--epsilon", paramLabel = "X", description = "AdamW: added to the root; default 1e-8.")
    private Double epsilon;

    @Option(names = "--weight-decay", paramLabel = "X",
            description = "Decay of the weights of Linear layers; default 0.1 for adamw, else 0.")
    private Double weightDecay;

    @Option(names = "--decay-all", arity = "0..1", fallbackValue = "true", paramLabel = "true|false",
            description = "Decay every parameter.")
    private Boolean decayAll;

    @Option(names = "--dynamic-weight-decay", arity = "0..1", fallbackValue = "true", paramLabel = "true|false",
            description = "Adafactor: decay by the square of the learning rate; default true.")
    private Boolean dynamicWeightDecay;

    @Option(names = "--scale-parameter", arity = "0..1", fallbackValue = "true", paramLabel = "true|false",
            description = "Adafactor: steps in proportion to the weights; default true.")
    private Boolean scaleParameter;

    @Option(names = "--kahan", arity = "0..1", fallbackValue = "true", paramLabel = "true|false",
            description = "Anyprecision: Kahan summation; default false.")
    private Boolean kahan;

    @Option(names = "--momentum-dtype", paramLabel = "TYPE",
            description = "Anyprecision: ${COMPLETION-CANDIDATES}; default F32.")
    private Precision momentum;

    @Option(names = "--variance-dtype", paramLabel = "TYPE",
            description = "Anyprecision: ${COMPLETION-CANDIDATES}; default BF16.")
    private Precision variance;

    @Option(names = "--compensation-dtype", paramLabel = "TYPE",
            description = "Anyprecision: ${COMPLETION-CANDIDATES}; default BF16.")
    private Precision compensation;

    /** @param stored what holds where nothing is said; null for the optimiser's defaults */
    OptimizerOptions options(OptimizerOptions stored) {
        OptimizerOptions base = stored != null && (kind == null || kind == stored.kind()) ? stored
                : switch (kind == null ? OptimizerOptions.Kind.ADAMW : kind) {
                    case ADAMW -> OptimizerOptions.adamW();
                    case ADAFACTOR -> OptimizerOptions.adafactor();
                    case ANYPRECISION -> OptimizerOptions.anyPrecision();
                };
        return new OptimizerOptions(base.kind(), or(beta1, base.beta1()), or(beta2, base.beta2()),
                or(epsilon, base.epsilon()), or(weightDecay, base.weightDecay()), or(decayAll, base.decayAll()),
                or(dynamicWeightDecay, base.dynamicWeightDecay()), or(scaleParameter, base.scaleParameter()),
                or(kahan, base.kahan()), dtype(momentum, base.momentumType()), dtype(variance, base.varianceType()),
                dtype(compensation, base.compensationType()));
    }

    static <T> T or(T given, T otherwise) {
        return given == null ? otherwise : given;
    }

    private static DType dtype(Precision given, DType otherwise) {
        return given == null ? otherwise : DType.valueOf(given.name());
    }
}
