// Package providertest has only tests.
package providertest
