/** Text from a model: {@link org.megabyte4j.generate.Generator} and the choice of each id. */
package org.megabyte4j.generate;
