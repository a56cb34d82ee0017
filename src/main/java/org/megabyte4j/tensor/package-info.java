/** Shapes, dtypes and planned memory: what a tensor is, before any device holds it. */
package org.megabyte4j.tensor;
