//! What an answer of DynamoDB or SQS that is an error means for the caller.

use annals_core::{
    destination::sink::printable,
    log::store::StoreError,
    operator::{OperatorCode, OperatorFault},
};
use aws_sdk_dynamodb::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::RequestId,
};

/// Codes of answers to calls that may succeed later, besides those that name throttling (DynamoDB, "Error messages and codes").
const THROTTLED: [&str; 3] =
    ["ProvisionedThroughputExceededException", "RequestLimitExceeded", "TransactionConflictException"];

/// The longest answer that is kept, in bytes: enough for two long ARNs and the reason behind them.
const ANSWER_MAX_BYTES: usize = 2048;

/// Converts an error of the SDK.
pub(crate) fn store_error<E>(error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let (Some(code), Some(answer)) = (error.code(), error.raw_response()) else {
        return StoreError::Unavailable(error.into());
    };
    // Such as `ThrottlingException` of DynamoDB, `RequestThrottled` of SQS, and `KmsThrottled`.
    if THROTTLED.contains(&code) || code.contains("Throttl") {
        return StoreError::Throttled(words(&error).into());
    }
    if let Some(fault) = operator_code(code, error.message().unwrap_or_default()) {
        return StoreError::Operator(OperatorFault::new(fault, words(&error)));
    }
    if answer.status().as_u16() >= 500 {
        StoreError::Unavailable(error.into())
    } else {
        StoreError::Broken(error.into())
    }
}

/// Returns whether a conditional write was made. It was not if its condition did not hold.
pub(crate) fn is_made<T, E>(result: Result<T, SdkError<E, HttpResponse>>) -> Result<bool, StoreError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match result {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(store_error(error)),
    }
}

/// Returns what AWS said, with the id of the request, for which AWS Support asks.
fn words<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> String {
    let text = format!("{}: {}", error.code().unwrap_or_default(), error.message().unwrap_or_default());
    let id = error.request_id().map_or_else(String::new, |id| format!(" (request {})", printable(id, 128)));
    printable(&text, ANSWER_MAX_BYTES) + &id
}

/// Returns what Annals lacks if an answer has this code and message. `None`: the answer means something else.
pub(crate) fn operator_code(code: &str, message: &str) -> Option<OperatorCode> {
    // Both services put `KMS` before the codes of KMS, or name the key in an AccessDeniedException.
    if code.to_ascii_uppercase().starts_with("KMS") || (code.starts_with("AccessDenied") && message.contains("KMS key"))
    {
        return Some(OperatorCode::KeyUnusable);
    }
    Some(match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" => OperatorCode::PermissionMissing,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "InvalidAccessKeyId"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "NotAuthorized"
        | "OptInRequired"
        | "RequestExpired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => OperatorCode::CredentialsRejected,
        "ResourceNotFoundException" | "TableNotFoundException" => OperatorCode::TableMissing,
        "ValidationException" if message.contains("does not have the specified index") => OperatorCode::IndexMissing,
        "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" => OperatorCode::QueueMissing,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as AWS documents or gives them, and what they mean.
    const ANSWERS: [(&str, &str, Option<OperatorCode>); 12] = [
        (
            "AccessDeniedException",
            "User: arn:aws:sts::111122223333:assumed-role/annals-ApiRole/annals-api is not authorized to perform: \
             dynamodb:Query on resource: arn:aws:dynamodb:eu-central-1:111122223333:table/annals-LogTable because no \
             identity-based policy allows the dynamodb:Query action",
            Some(OperatorCode::PermissionMissing),
        ),
        ("AccessDenied", "Access to the resource is denied.", Some(OperatorCode::PermissionMissing)),
        ("UnrecognizedClientException", "The security token is invalid.", Some(OperatorCode::CredentialsRejected)),
        ("ExpiredTokenException", "The security token is expired", Some(OperatorCode::CredentialsRejected)),
        ("ResourceNotFoundException", "Requested resource not found", Some(OperatorCode::TableMissing)),
        (
            "ValidationException",
            "The table does not have the specified index: listing",
            Some(OperatorCode::IndexMissing),
        ),
        ("ValidationException", "One or more parameter values were invalid", None),
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "The specified queue does not exist.",
            Some(OperatorCode::QueueMissing),
        ),
        ("KMSDisabledException", "The key is disabled.", Some(OperatorCode::KeyUnusable)),
        ("KmsAccessDenied", "The caller may not use the key.", Some(OperatorCode::KeyUnusable)),
        (
            "AccessDeniedException",
            "KMS key access denied error: the ciphertext refers to a key that does not exist",
            Some(OperatorCode::KeyUnusable),
        ),
        ("ItemCollectionSizeLimitExceededException", "Collection size exceeded.", None),
    ];

    #[test]
    fn answers_that_only_the_operator_can_change_have_a_code() {
        for (code, message, expected) in ANSWERS {
            assert_eq!(operator_code(code, message), expected, "{code}: {message}");
        }
    }
}
