package org.megabyte4j.train;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;
import java.util.Locale;
import org.megabyte4j.backend.Ops;
import org.megabyte4j.tensor.DType;
import org.megabyte4j.tensor.MemoryPlan;
import org.megabyte4j.tensor.ParameterLayout;

/**
 * Which optimiser, and its constants; each optimiser reads the ones it has.
 *
 * @param kind               which
 * @param beta1              decay of the first moment (AdamW, AnyPrecisionAdamW)
 * @param beta2              decay of the second moment (AdamW, AnyPrecisionAdamW)
 * @param epsilon            added to the root of the second moment (AdamW, AnyPrecisionAdamW)
 * @param weightDecay        decoupled weight decay
 * @param decayAll           decay every parameter, not only the weights of Linear layers
 * @param dynamicWeightDecay decay by the square of the learning rate instead (Adafactor)
 * @param scaleParameter     multiply the step by the root mean square of the tensor (Adafactor)
 * @param kahan              Kahan summation (AnyPrecisionAdamW)
 * @param momentumType       F32 or BF16 (AnyPrecisionAdamW)
 * @param varianceType       F32 or BF16 (AnyPrecisionAdamW)
 * @param compensationType   F32 or BF16 (AnyPrecisionAdamW)
 */
public record OptimizerOptions(
        @JsonProperty("name") Kind kind,
        @JsonProperty("beta1") double beta1,
        @JsonProperty("beta2") double beta2,
        @JsonProperty("epsilon") double epsilon,
        @JsonProperty("weight_decay") double weightDecay,
        @JsonProperty("decay_all") boolean decayAll,
        @JsonProperty("dynamic_weight_decay") boolean dynamicWeightDecay,
        @JsonProperty("scale_parameter") boolean scaleParameter,
        @JsonProperty("kahan") boolean kahan,
        @JsonProperty("momentum_dtype") DType momentumType,
        @JsonProperty("variance_dtype") DType varianceType,
        @JsonProperty("compensation_dtype") DType compensationType) {

    /** The optimisers. */
    public enum Kind {
        @JsonProperty("adamw") ADAMW,
        @JsonProperty("adafactor") ADAFACTOR,
        @JsonProperty("anyprecision") ANYPRECISION;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** The paper's epsilon1 and epsilon2, clip threshold and decay rate of Adafactor. */
    private static final float EPSILON1 = 1e-30f;
    private static final float EPSILON2 = 1e-3f;
    private static final float CLIP_THRESHOLD = 1;
    private static final double DECAY_RATE = -0.8;

    /** @throws TrainException if a constant is out of its range */
    public OptimizerOptions {
        within("--beta1", beta1);
        within("--beta2", beta2);
        if (!(epsilon > 0) || Double.isInfinite(epsilon)) {
            throw new TrainException("--epsilon " + epsilon + " is not a positive number; 1e-8 is usual");
        }
        if (!(weightDecay >= 0) || Double.isInfinite(weightDecay)) {
            throw new TrainException("--weight-decay " + weightDecay + " is not 0 or a positive number; 0.1 is usual");
        }
        for (DType type : List.of(momentumType, varianceType, compensationType)) {
            if (type != DType.F32 && type != DType.BF16) {
                throw new TrainException("an optimiser's state cannot be " + type + "; use F32 or BF16");
            }
        }
    }

    private static void within(String option, double beta) {
        if (!(beta >= 0 && beta < 1)) {
            throw new TrainException(option + " " + beta + " is not at least 0 and less than 1");
        }
    }

    /** AdamW as language models are trained with: beta2 0.95, weight decay 0.1. */
    public static OptimizerOptions adamW() {
        return of(Kind.ADAMW, 0.9, 0.95, 1e-8, 0.1);
    }

    /** Adafactor as the reference uses it, with its dynamic weight decay. */
    public static OptimizerOptions adafactor() {
        return of(Kind.ADAFACTOR, 0.9, 0.95, 1e-8, 0);
    }

    /** AnyPrecisionAdamW with float32 momentum, bfloat16 variance, and no Kahan summation. */
    public static OptimizerOptions anyPrecision() {
        return of(Kind.ANYPRECISION, 0.9, 0.999, 1e-8, 0);
    }

    private static OptimizerOptions of(Kind kind, double beta1, double beta2, double epsilon, double weightDecay) {
        return new OptimizerOptions(kind, beta1, beta2, epsilon, weightDecay, false, kind == Kind.ADAFACTOR, true,
                false, DType.F32, DType.BF16, DType.BF16);
    }

    /** The same with every parameter decaying. */
    public OptimizerOptions withDecayAll() {
        return new OptimizerOptions(kind, beta1, beta2, epsilon, weightDecay, true, dynamicWeightDecay, scaleParameter,
                kahan, momentumType, varianceType, compensationType);
    }

    /** Plans the optimiser's state for a parameter arena. */
    public Optimizer plan(ParameterLayout layout, MemoryPlan plan) {
        List<ParameterLayout.Entry> entries = layout.entries();
        boolean[] decays = new boolean[entries.size()];
        for (int i = 0; i < decays.length; i++) {
            decays[i] = decayAll || entries.get(i).decayed();
        }
        Ops.AdamWSettings adam = new Ops.AdamWSettings(beta1, beta2, epsilon, weightDecay);
        return switch (kind) {
            case ADAMW -> new AdamW(adam, layout, decays, plan);
            case ADAFACTOR -> new Adafactor(new Ops.AdafactorSettings(EPSILON1, EPSILON2, CLIP_THRESHOLD,
                    scaleParameter, (float) weightDecay, dynamicWeightDecay), DECAY_RATE, layout, decays, plan);
            case ANYPRECISION -> new AnyPrecisionAdamW(adam, momentumType, varianceType,
                    kahan ? compensationType : null, layout, decays, plan);
        };
    }
}
