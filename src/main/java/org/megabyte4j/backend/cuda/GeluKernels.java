package org.megabyte4j.backend.cuda;

import static org.megabyte4j.backend.cuda.KernelType.I32;
import static org.megabyte4j.backend.cuda.KernelType.I64;
import static org.megabyte4j.backend.cuda.KernelType.PTR;

import org.megabyte4j.tensor.Tensor;

/** The exact GELU, {@code kernels/gelu.cu}. */
final class GeluKernels {
    private final Kernel geluFloat;
    private final Kernel geluBf16;
    private final Kernel geluBiasFloat;
    private final Kernel geluBiasBf16;
    private final Kernel backwardFloat;
    private final Kernel backwardBf16;

    GeluKernels(KernelLoader loader) {
        KernelModule module = loader.module("gelu");
        geluFloat = module.kernel("gelu_f32", PTR, PTR, I64);
        geluBf16 = module.kernel("gelu_bf16", PTR, PTR, I64);
        geluBiasFloat = module.kernel("gelu_bias_f32", PTR, PTR, PTR, I64, I32);
        geluBiasBf16 = module.kernel("gelu_bias_bf16", PTR, PTR, PTR, I64, I32);
        backwardFloat = module.kernel("gelu_backward_f32", PTR, PTR, PTR, PTR, I64);
        backwardBf16 = module.kernel("gelu_backward_bf16", PTR, PTR, PTR, PTR, I64);
    }

    /**
     * {@code preActivation += bias}, {@code activated = gelu(preActivation)}.
     *
     * @param preActivation {@code [rows, columns]}
     * @param bias          {@code [columns]}, or null if it is added already
     * @param activated     may be {@code preActivation} itself
     */
    void gelu(Tensor preActivation, Tensor bias, Tensor activated) {
        long elements = preActivation.elements();
        if (elements == 0) {
            return;
        }
        int vector = Launches.vector(preActivation.dtype());
        if (bias == null) {
            Launches.elementwise(Launches.of(preActivation, geluFloat, geluBf16), elements, vector)
                    .arg(preActivation).arg(activated).arg(elements).launch();
        } else {
            Launches.elementwise(Launches.of(preActivation, geluBiasFloat, geluBiasBf16), elements, vector)
                    .arg(preActivation).arg(bias).arg(activated).arg(elements).arg(Math.toIntExact(bias.elements()))
                    .launch();
        }
    }

    /** {@link org.megabyte4j.backend.Ops#geluBackward}. */
    void geluBackward(Tensor preActivation, Tensor dActivated, Tensor dX, Tensor activated) {
        long elements = preActivation.elements();
        if (elements == 0) {
            return;
        }
        Launches.elementwise(Launches.of(preActivation, backwardFloat, backwardBf16), elements,
                Launches.vector(preActivation.dtype()))
                .arg(preActivation).arg(dActivated).arg(dX).arg(activated).arg(elements).launch();
    }
}
