package org.megabyte4j.verify;

import org.megabyte4j.tensor.DType;

/**
 * How far off a result may be, by the type that the model computes in. Where the figures come from is said in
 * docs/numerics.md.
 *
 * @param logits       relative error of logits
 * @param norms        relative error of the norms between the stacks
 * @param gradients    relative error of each parameter's gradient
 * @param loss         relative error of the loss
 * @param logit        absolute error of a largest logit in generation, and of its lead over the second
 * @param decisiveLead the smallest recorded lead that decides which id is chosen; from an id on that could as well have
 *                     been another one, a continuation is not compared
 * @param gradientNorm relative error of the gradient's norm in the first step of a training curve
 * @param closeLosses  absolute error of the first losses of a training curve
 */
record Tolerances(double logits, double norms, double gradients, double loss, double logit, double decisiveLead,
        double gradientNorm, double closeLosses) {
    private static final Tolerances FLOAT32 = new Tolerances(1e-5, 1e-5, 1e-5, 1e-6, 1e-4, 0, 1e-4, 1e-3);
    private static final Tolerances BF16 = new Tolerances(2.7e-2, 2.7e-3, 9.4e-2, 5.6e-3, 0.17, 0.17, 2e-3, 3e-2);

    static Tolerances of(DType dtype) {
        return dtype == DType.F32 ? FLOAT32 : BF16;
    }
}
